"""Where fits and other tasks are carried out: in a thread of this process, or in a process of its own.

A fit in a process of its own: the kernel asks a warm *server* (`server.py`) for a fork of itself. That becomes a
*guard* (`guard.py`), which forks the process of the fit (`carrying_out.py`) and watches over it. What the fit is made
of travels over a private connection, and so do its output and result; everything else goes through the run's folder.

A fit on several devices has a process for each: the first is as above, and the guard forks those that follow it
(`seats.py`). In a script that torchrun or srun starts, they are its own processes (`script.py`).

Imports `errors`, `runtime`, `options`, `problem`, `identity`, `data`, `runs`, `training`, `fitting`.
"""
