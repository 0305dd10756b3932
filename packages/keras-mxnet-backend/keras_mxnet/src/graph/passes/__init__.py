"""What is done to a graph before MXNet gets it. No pass changes a result."""

from keras_mxnet.src.graph.nodes import Graph
from keras_mxnet.src.graph.passes.activations import use_onednn
from keras_mxnet.src.graph.passes.batch_norm import fuse_batch_norms
from keras_mxnet.src.graph.passes.bias import fuse_biases
from keras_mxnet.src.graph.passes.blocks import remove_blocks
from keras_mxnet.src.graph.passes.channels import pad_channels
from keras_mxnet.src.graph.passes.common import share
from keras_mxnet.src.graph.passes.onednn_transposes import transpose_by_onednn
from keras_mxnet.src.graph.passes.scalars import use_scalars
from keras_mxnet.src.graph.passes.totals import sum_rows_by_product
from keras_mxnet.src.graph.passes.transposes import cancel_transposes


def optimize(graph: Graph) -> Graph:
    """Return an equal graph that runs faster."""
    if not graph.wanted:
        graph = remove_blocks(graph)
    for each in (
        use_scalars,
        share,
        cancel_transposes,
        fuse_biases,
        fuse_batch_norms,
        use_onednn,
        pad_channels,
        sum_rows_by_product,
        transpose_by_onednn,
    ):
        graph = each(graph)
    return graph
