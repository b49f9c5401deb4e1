"""The real small trainer behind the sandbox's ``easy_rec_ext``: numpy instead of TensorFlow.

``python -m include.sandbox.trainer --job job.json`` runs one job as EasyRec would (reference section 4).
"""
