#!/bin/sh
# Agama's own last script (`post`). What Farrier does to the installed system can take many minutes, and for
# its last scripts Agama waits one minute (16.0 as it was released; five since March 2026), goes on with an
# error, and takes the system's resolver away. So they do nothing but hold the system: it is mounted once
# more, where Agama does not unmount it. When Agama is through, the watch finishes it there.
cd "${FARRIER_DIR:-/run/farrier}" || exit 1
# not below /run: that is mounted in the installed system too, and what is unmounted there would be here
hold=${FARRIER_HOLD:-/farrier-target}
mkdir -p "$hold" &&
    mount --rbind "${FARRIER_TARGET:-/mnt}" "$hold" &&
    mount --make-rprivate "$hold" &&
    : >held
