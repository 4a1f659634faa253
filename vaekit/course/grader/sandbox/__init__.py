"""A command shut in: `python -I -S sandbox SETTINGS`, where SETTINGS is what `command.shut_in` makes, as JSON.

Layers, each of its own: one that this system does not offer is left out, and the others still hold.

1. namespaces: its own processes, network, users; a file system of tmpfs and read-only binds; ends with this process;
2. limits on memory, processes, processor time, size and number of files;
3. Landlock: an allow-list of files; no signals and no sockets to the outside;
4. seccomp: no sockets but pairs of its own, no other process's memory, no memory that belongs to no process; without
   namespaces, no changes of what the same user's files and processes are like.

This folder is the program: `__main__.py` and what lies beside it need the standard library alone, and import nothing of
vaekit. Landlock holds for the thread that asks for it and for what that thread starts, so it comes before any library
with threads of its own. What could not be had stands for the command in the environment variable VAEKIT_MISSING, a JSON
object {layer: reason}; whether it holds, the command tries.
"""

LAYERS = ("namespaces", "limits", "Landlock", "seccomp")
