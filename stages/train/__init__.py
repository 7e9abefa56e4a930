"""Train: a U-Net under a weighted sum of Dice and BCE loss."""
