"""Encoder, U-Net and its saved form. Pure Keras: no `tf.` in this room, so it runs on every Keras backend."""
