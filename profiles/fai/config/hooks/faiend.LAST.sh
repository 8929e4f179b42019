# Sourced before FAI's last task: the installation is complete. It is reported when the disk is
# consistent, not before.
farrier_scrub
farrier_post log "$LOGDIR/fai.log"
farrier_post log "$LOGDIR/scripts.log"
cd /
umount_target
if mountpoint -q "$target"; then
    die "$target could not be unmounted."
fi
sync
farrier_post end || echo "Farrier: the end of the installation could not be reported."
