"""From one configuration to jobs: what a method comes to, what each stage is told, and where its results lie."""
