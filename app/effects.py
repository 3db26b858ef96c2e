"""What an action does to the world: the class the gate judges by."""

from enum import StrEnum


class Effect(StrEnum):
    READ = "read"  # follow a link, a GET, read a file
    WRITE = "write"  # submit, a POST, write or download a file
    SEND = "send"  # words that reach other people
    DELETE = "delete"
    PAY = "pay"
    EXEC = "exec"  # run code
    CREDENTIAL = "credential"  # passwords, keys, who may log in
