"""The daemon: decides and answers, never touches the bytes of a running job."""
