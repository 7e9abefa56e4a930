"""Where films come from: a folder, Kaggle, a hospital's export, the embedded sample."""
