"""Train networks: the loop, its losses, augmentation and discriminators, alone or with several ranks."""
