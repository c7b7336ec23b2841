"""From one configuration to jobs: resolved methods, the settings of each stage, and the paths of its results."""
