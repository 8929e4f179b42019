//! The house from outside: its walls, its doors, its machines.

<<<<<<< HEAD
mod architecture;
mod rack;
=======
mod cli;
mod artefacts;
mod http;
mod loader;
mod standin;
mod tftp;
mod upstream;
>>>>>>> a26e3b5 (Whole runs of the command line as goldens, with files alone and with a served site)
