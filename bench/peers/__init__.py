"""What people would write instead of a worker, each a program of its own with the same model.

They read the topic $PEER_IN at $PEER_BOOTSTRAP and write what they found to $PEER_OUT.
"""
