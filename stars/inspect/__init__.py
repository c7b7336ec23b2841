"""Looking at data before training on it: a page for a data set, pictures for a clip. Nothing here changes any result."""
