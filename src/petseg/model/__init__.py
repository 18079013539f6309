"""The U-Net, its encoder and its saved form, in pure Keras, so it runs on every Keras backend."""

import keras

# Override ~/.keras/keras.json, which must not affect results.
keras.config.set_floatx("float32")
keras.config.set_epsilon(1e-7)
keras.config.set_image_data_format("channels_last")
