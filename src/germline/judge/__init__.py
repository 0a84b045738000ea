"""The judge: scorecards in, a verdict out, and how sure it is; pure arithmetic, without a model, a file or a clock."""
