"""Export of a model."""


class MXNetExportArchive:
    """A SavedModel is TensorFlow's format, which this backend does not write."""

    def track(self, resource: object) -> None:
        raise NotImplementedError(
            "A SavedModel cannot be written with the MXNet backend; save the model as `.keras` "
            "and export it with the TensorFlow backend."
        )

    def add_endpoint(self, name: str, fn: object, input_signature: object = None, **kwargs: object):
        raise NotImplementedError(
            "A SavedModel cannot be written with the MXNet backend; save the model as `.keras` "
            "and export it with the TensorFlow backend."
        )
