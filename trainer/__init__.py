"""Training and evaluation of checkpoints. Knows nothing of agents.

service.py is the learning loop: labels/ turns feedback into labels, promotion/ makes a challenger
of them and judges it, fitting/ fits it, data/ reads labelled texts. base/ makes the shipped model.
"""
