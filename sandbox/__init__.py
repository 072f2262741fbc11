"""The platform in small: every component that the runbooks run against, on one machine."""
