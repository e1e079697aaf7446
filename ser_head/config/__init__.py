"""Configuration: every setting of training, prediction and enrolment, its default and its bounds."""
