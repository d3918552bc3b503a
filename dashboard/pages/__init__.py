"""The pages: what NiceGUI builds, and the words sent with them."""
