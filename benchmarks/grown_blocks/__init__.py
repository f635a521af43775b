"""Small blocks of networks, written with the habits that people have; `BLOCKS` lists them all."""

from benchmarks.grown_blocks import attention, branches, convolutions, gates, sequences, transitions, vectors
from benchmarks.grown_blocks.parts import Block

BLOCKS: tuple[type[Block], ...] = (
    *(transitions.Stem, transitions.PooledStem, transitions.NoStem),
    *(convolutions.PlainConv, convolutions.BasicResidual, convolutions.ProjectedResidual, convolutions.PreActivation),
    *(convolutions.GroupedBottleneck, convolutions.InvertedResidual, convolutions.SqueezeExcite),
    *(convolutions.DepthwiseMultiplied, convolutions.ConvNeXt, convolutions.Reparameterised, convolutions.SharedTwice),
    *(convolutions.TiedWeights, convolutions.ScaledByBuffers, convolutions.BareParameters, gates.SpatialGate),
    *(gates.Centred, convolutions.Pooled),
    *(branches.Dense, branches.SplitAndCollect, branches.CrossStage, branches.Gated, branches.ShuffleSplit),
    *(branches.ShuffleGroups, branches.PixelShuffled, branches.Focus, branches.DownAndUp, branches.TransposedGroups),
    *(branches.Inception, branches.Fire, branches.Ghost, branches.Scales, branches.PartialConv),
    *(gates.SelectiveKernel, branches.Maxout, gates.ChannelConvolved, gates.NonLocal, gates.Modulated),
    *(transitions.Patches, transitions.UnfoldedPatches, transitions.RowsAsTokens),
    *(transitions.GlobalPool, transitions.Flattened),
    *(transitions.Words, transitions.WordsWithPositions, transitions.FactorisedWords),
    *(attention.FusedAttention, attention.SeparateAttention, attention.SharedKeys, attention.TorchAttention),
    *(attention.TorchEncoder, attention.LinearAttention, attention.RotaryAttention, attention.LatentCross),
    *(attention.BiasedAttention,),
    *(sequences.FeedForward, sequences.SwiGLU, sequences.OwnLinear, sequences.LayerScaled, sequences.Widened),
    *(sequences.Mixer, sequences.SpatialGating, sequences.TokenConv, sequences.Recurrent, sequences.CellLoop),
    *(sequences.OwnLoop, sequences.StateSpace, sequences.Experts, sequences.Positions, sequences.Merged),
    *(sequences.Highway,),
    *(transitions.OneToken, transitions.LastState, transitions.AttentionPool, transitions.AllTokens),
    *(transitions.TiedLanguageHead, transitions.FeaturesAsTokens),
    *(vectors.Hidden, vectors.ResidualVectors, vectors.DenseVectors, vectors.GatedVectors, vectors.MatrixProducts),
    *(vectors.BareMatrices, vectors.TiedAutoencoder, vectors.CrossNetwork, vectors.CoupledFlow, vectors.Ensemble),
    *(vectors.VectorConv,),
    *(vectors.LinearHead, vectors.DeepHead, vectors.TwoHeads, vectors.MatrixHead),
)
"""Of those that take and give the same forms the first is the plainest."""
