"""The processes of a region: keeper, node, learner, transcoder; and the supervisor that keeps them alive."""
