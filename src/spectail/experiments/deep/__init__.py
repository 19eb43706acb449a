"""Networks for images, trained by the full batch."""
