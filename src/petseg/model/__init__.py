"""Encoder, U-Net and its saved form. Pure Keras: no `tf.` in this room, so it runs on every Keras backend."""

import keras

# Whatever ~/.keras/keras.json says: it must not change a result.
keras.config.set_floatx("float32")
keras.config.set_epsilon(1e-7)
keras.config.set_image_data_format("channels_last")
