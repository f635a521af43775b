"""Seccomp: system calls that a reader of files does not need fail from now on. Linux, https://man7.org/linux/man-pages/man2/seccomp.2.html

What is not named here stays allowed: which calls Python and the C library make differs from one to the next, and a
list of those would break with a new one. The numbers are those of linux/unistd.h.
"""

import ctypes
import errno
import os

from pruning.files.child.system_calls import call, machine

FORBIDDEN: dict[str, tuple[int | None, int | None]] = {
    # processes and threads
    "fork": (57, None), "vfork": (58, None), "clone": (56, 220), "execve": (59, 221), "execveat": (322, 281),
    "setpriority": (141, 140), "sched_setaffinity": (203, 122), "ioprio_set": (251, 30),
    # other processes
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "process_madvise": (440, 440), "kcmp": (312, 272), "kill": (62, 129), "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240), "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424), "shmget": (29, 194), "msgget": (68, 186),
    "semget": (64, 190), "mq_open": (240, 180),
    # network, and what takes other calls by a ring
    "socket": (41, 198), "socketpair": (53, 199), "connect": (42, 203), "bind": (49, 200), "listen": (50, 201),
    "accept": (43, 202), "accept4": (288, 242), "sendto": (44, 206), "sendmsg": (46, 211), "sendmmsg": (307, 269),
    "recvfrom": (45, 207), "recvmsg": (47, 212), "recvmmsg": (299, 243), "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    # file systems and namespaces
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "move_mount": (429, 429), "open_tree": (428, 428), "fsopen": (430, 430), "fsmount": (432, 432),
    "fsconfig": (431, 431), "fspick": (433, 433), "mount_setattr": (442, 442), "unshare": (272, 97),
    "setns": (308, 268), "open_by_handle_at": (304, 265),
    # what landlock leaves: modes, owners, times and attributes of files
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452), "chown": (92, None),
    "fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54), "setxattr": (188, 5), "lsetxattr": (189, 6),
    "fsetxattr": (190, 7), "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16),
    "utime": (132, None), "utimes": (235, None), "futimesat": (261, None), "utimensat": (280, 88),
    # who it is, and its limits
    "setuid": (105, 146), "setgid": (106, 144), "setreuid": (113, 145), "setregid": (114, 143),
    "setresuid": (117, 147), "setresgid": (119, 149), "setgroups": (116, 159), "setfsuid": (122, 151),
    "setfsgid": (123, 152), "capset": (126, 91), "setrlimit": (160, 164), "personality": (135, 92),
    # the machine
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106), "kexec_load": (246, 104),
    "kexec_file_load": (320, 294), "reboot": (169, 142), "swapon": (167, 224), "swapoff": (168, 225),
    "acct": (163, 89), "quotactl": (179, 60), "bpf": (321, 280), "perf_event_open": (298, 241),
    "userfaultfd": (323, 282), "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "clock_adjtime": (305, 266), "adjtimex": (159, 171),
    "sethostname": (170, 161), "setdomainname": (171, 162), "syslog": (103, 116), "iopl": (172, None),
    "ioperm": (173, None), "vhangup": (153, 58),
}  # fmt: skip
"""Name -> its number on x86-64 and on arm64, None where there is no such call."""

CLONE3, SIGNAL_THREAD, LIMITS, SECCOMP = (435, 435), (234, 131), (302, 261), (317, 277)
_ARCHITECTURES = (0xC000003E, 0xC00000B7)
_X32 = 0x40000000  # the same calls again under other numbers
_NUMBER, _ARCHITECTURE, _FIRST, _THIRD = 0, 4, 16, 32  # where they stand in what a filter looks at
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _FAIL = 0x7FFF0000, 0x00050000
_FILTER, _ALL_THREADS = 1, 1


class _Step(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint16), ("yes", ctypes.c_uint8), ("no", ctypes.c_uint8), ("value", ctypes.c_uint32))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("steps", ctypes.POINTER(_Step)))


def restrict() -> None:
    """Let the forbidden calls fail with EPERM in all threads, for good. NotHere if the kernel cannot do it."""
    here = machine()
    steps = program(here, os.getpid())
    made = _Program(len(steps), (_Step * len(steps))(*steps))
    call("seccomp", SECCOMP[here], ctypes.c_uint(_FILTER), ctypes.c_uint(_ALL_THREADS), ctypes.byref(made))


def program(here: int, process: int) -> list[tuple[int, int, int, int]]:
    """The filter for a machine: each step is (code, steps to skip if so, steps to skip if not, value)."""
    refuse = (_RETURN, 0, 0, _FAIL | errno.EPERM)
    allow = (_RETURN, 0, 0, _ALLOW)
    steps = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, _ARCHITECTURES[here]),
        refuse,
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, _X32),
        refuse,
        # the C library then takes clone, which is refused
        (_EQUAL, 0, 1, CLONE3[here]),
        (_RETURN, 0, 0, _FAIL | errno.ENOSYS),
    ]
    for numbers in FORBIDDEN.values():
        if (number := numbers[here]) is not None:
            steps += [(_EQUAL, 0, 1, number), refuse]
    # abort() sends a signal to the own process
    steps += [(_EQUAL, 0, 4, SIGNAL_THREAD[here]), (_LOAD, 0, 0, _FIRST), (_EQUAL, 0, 1, process), allow, refuse]
    # limits may be asked for: the third argument is where new ones stand
    steps += [(_EQUAL, 0, 6, LIMITS[here]), (_LOAD, 0, 0, _THIRD), (_EQUAL, 0, 3, 0), (_LOAD, 0, 0, _THIRD + 4)]
    return [*steps, (_EQUAL, 0, 1, 0), allow, refuse, allow]
