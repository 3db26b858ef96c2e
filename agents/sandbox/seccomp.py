"""The system-call filter that a program gets on its way into being, compiled by libseccomp to a BPF program for the supervisor to load.

A list of what is refused, after Flatpak's and Docker's default profiles: ways to a new namespace, to mounts, to other processes' memory,
to the kernel's own loaders, and memory that no limit of ours counts (memfd, System V IPC), and socket
families that no network namespace holds back (AF_VSOCK reaches a virtual machine's host). Calls that this libseccomp does not know stay
allowed: they meet a process without capabilities that cannot get any (no_new_privs, user namespaces disabled). Foreign
architectures' calls (i386, x32) kill the process.
"""

import errno
import os
from functools import lru_cache

from app.errors import SandboxUnavailable

CLONE_NEWUSER = 0x10000000
NAMESPACES = 0x7E020080  # CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET} and NEWTIME
SOCKETS = {1, 2, 10, 16}  # AF_UNIX, AF_INET, AF_INET6, AF_NETLINK: of this network namespace, which has nobody in it
TIOCSTI, TIOCLINUX = 0x5412, 0x541C  # push characters into the terminal that started us

REFUSED = (
    # namespaces and mounts
    *("unshare", "setns", "mount", "umount2", "pivot_root", "chroot", "mount_setattr", "move_mount", "open_tree"),
    *("fsopen", "fsconfig", "fsmount", "fspick", "name_to_handle_at", "open_by_handle_at", "quotactl", "quotactl_fd"),
    # other processes
    *("ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "kcmp", "pidfd_getfd"),
    # the kernel's own machinery
    *("bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register", "kexec_load"),
    *("kexec_file_load", "init_module", "finit_module", "delete_module", "create_module", "reboot", "swapon", "swapoff"),
    *("syslog", "acct", "add_key", "request_key", "keyctl", "lookup_dcookie", "nfsservctl", "vhangup", "uselib", "personality"),
    *("settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "sethostname", "setdomainname", "iopl", "ioperm"),
    *("move_pages", "mbind", "migrate_pages", "set_mempolicy", "fanotify_init"),
    # memory outside the limits
    *("memfd_create", "memfd_secret", "shmget", "shmat", "msgget", "msgsnd", "semget", "vmsplice"),
)


@lru_cache(maxsize=1)
def program() -> bytes:
    """The compiled filter (a few hundred bytes of BPF). Raises SandboxUnavailable without libseccomp."""
    try:
        import pyseccomp
    except (ImportError, OSError, RuntimeError) as error:
        raise SandboxUnavailable(
            f"libseccomp cannot be loaded: {error}.", hint="Install libseccomp2 (Debian) and keepsake[agents]."
        ) from None
    refuse = pyseccomp.ERRNO(errno.EPERM)
    rules = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    for name in REFUSED:
        if pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name) >= 0:  # negative: unknown to this libseccomp or architecture
            rules.add_rule(refuse, name)
    for flag in (1 << bit for bit in range(32) if NAMESPACES & (1 << bit)):
        rules.add_rule(refuse, "clone", pyseccomp.Arg(0, pyseccomp.MASKED_EQ, flag, flag))
    rules.add_rule(pyseccomp.ERRNO(errno.ENOSYS), "clone3")  # its flags lie in memory; the C library falls back to clone
    families = [pyseccomp.Arg(0, pyseccomp.EQ, family) for family in range(max(SOCKETS)) if family not in SOCKETS]
    for family in (*families, pyseccomp.Arg(0, pyseccomp.GT, max(SOCKETS))):
        rules.add_rule(refuse, "socket", family)
    rules.add_rule(refuse, "prlimit64", pyseccomp.Arg(0, pyseccomp.NE, 0))  # others' limits, the supervisor's among them
    for request in (TIOCSTI, TIOCLINUX):
        rules.add_rule(refuse, "ioctl", pyseccomp.Arg(1, pyseccomp.MASKED_EQ, 0xFFFFFFFF, request))
    descriptor = os.memfd_create("seccomp")
    with open(descriptor, "w+b") as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()
