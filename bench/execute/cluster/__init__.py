"""Run jobs on the nodes of a cluster: messages to an agent on each, which hosts a local executor."""
