"""From one configuration to jobs: resolved methods, the settings of each stage, and where its results lie."""
