"""System calls that graded code is refused, each with its numbers on x86_64 and on aarch64 (-: it has none)."""


def numbers(calls, machine):
    """Parses a group of calls: {name: number}."""
    column = MACHINES.index(machine) + 1
    lines = [call.split() for call in calls.replace("\n", ",").split(",") if call.strip()]
    return {line[0]: int(line[column]) for line in lines if line[column] != "-"}


MACHINES = ["x86_64", "aarch64"]
ARCHITECTURES = [0xC000003E, 0xC00000B7]  # as the kernel's audit numbers them

# Sockets but pairs; options that make their buffers larger; descriptors under way in a message.
SOCKETS = """socket 41 198, connect 42 203, bind 49 200, listen 50 201, accept 43 202, accept4 288 242,
setsockopt 54 208, sendmsg 46 211, sendmmsg 307 269"""
# What lives on in the kernel, or in memory that belongs to no process; and a few numbers that all of a user share.
LASTING = """memfd_create 319 279, memfd_secret 447 447, vmsplice 278 75, add_key 248 217, request_key 249 218,
keyctl 250 219, shmget 29 194, shmat 30 196, shmctl 31 195, semget 64 190, semop 65 193, semtimedop 220 192,
semctl 66 191, msgget 68 186, msgsnd 69 189, msgrcv 70 188, msgctl 71 187, mq_open 240 180, mq_unlink 241 181,
mq_timedsend 242 182, mq_timedreceive 243 183, mq_notify 244 184, mq_getsetattr 245 185, io_setup 206 0,
inotify_init 253 -, inotify_init1 294 26, fanotify_init 300 262"""
# Other processes' memory; parts of the kernel that are hard to bound; other namespaces and mounts.
KERNEL = """ptrace 101 117, process_vm_readv 310 270, process_vm_writev 311 271, process_madvise 440 440,
process_mrelease 448 448, pidfd_getfd 438 438, kcmp 312 272, migrate_pages 256 238, move_pages 279 239,
bpf 321 280, perf_event_open 298 241, userfaultfd 323 282, io_uring_setup 425 425, io_uring_enter 426 426,
io_uring_register 427 427, unshare 272 97, setns 308 268, mount 165 40, umount2 166 39, pivot_root 155 41,
chroot 161 51, open_tree 428 428, move_mount 429 429, fsopen 430 430, fsconfig 431 431, fsmount 432 432, fspick 433 433,
mount_setattr 442 442, open_tree_attr 467 467, open_by_handle_at 304 265"""
REFUSED = SOCKETS + "," + LASTING + "," + KERNEL

# What reaches files of the same user, and processes, where there are no namespaces that hide them. (Landlock knows
# files' contents alone.) Programs that copy or unpack a file also set its mode and its times, and fail if they cannot.
OF_FILES = """chown 92 -, lchown 94 -, fchown 93 55, fchownat 260 54, setxattr 188 5, lsetxattr 189 6, fsetxattr 190 7,
removexattr 197 14, lremovexattr 198 15, fremovexattr 199 16, setxattrat 463 463, removexattrat 466 466,
file_setattr 469 469, truncate 76 45"""
PRETENDED = """chmod 90 -, fchmod 91 52, fchmodat 268 53, fchmodat2 452 452, utime 132 -, utimes 235 -,
futimesat 261 -, utimensat 280 88"""
OF_PROCESSES = """setpriority 141 140, ioprio_set 251 30, tkill 200 130, pidfd_open 434 434,
pidfd_send_signal 424 424"""
OF_ITSELF = """prlimit64 302 261, sched_setaffinity 203 122, sched_setparam 142 118, sched_setscheduler 144 119,
sched_setattr 314 274, kill 62 129, tgkill 234 131, rt_sigqueueinfo 129 138, rt_tgsigqueueinfo 297 240"""

# Refused with some arguments.
BY_ARGUMENT = """mmap 9 222, socketpair 53 199, prctl 157 167, fcntl 72 25, ioctl 16 29, clone 56 220, clone3 435 435,
open 2 -, openat 257 56, openat2 437 437"""
