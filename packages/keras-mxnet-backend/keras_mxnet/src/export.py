"""Export of a model."""


class MXNetExportArchive:
    """A SavedModel is TensorFlow's format, which this backend does not write."""

    def track(self, resource: object) -> None:
        _refuse()

    def add_endpoint(
        self, name: str, fn: object, input_signature: object = None, **kwargs: object
    ) -> None:
        _refuse()

    def track_and_add_endpoint(
        self, name: str, resource: object, input_signature: object, **kwargs: object
    ) -> None:
        _refuse()


def _refuse() -> None:
    raise NotImplementedError(
        "`export_saved_model` only currently supports the tensorflow, jax and torch backends. "
        "Save the model as `.keras` and export it with one of them."
    )
