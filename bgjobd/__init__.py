"""bgjob's daemon and what front ends share. Importing this package imports nothing else."""
