"""What a person or program may ask, how it is done, and how it is proven done."""
