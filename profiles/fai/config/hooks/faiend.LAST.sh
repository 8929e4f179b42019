# Sourced before FAI's last task: the installation is complete. It is reported when the disk is
# consistent, not before.
farrier_scrub
for log in fai scripts; do
    tail -c 60000 "$LOGDIR/$log.log" >"$LOGDIR/farrier-tail"
    farrier_post log "$LOGDIR/farrier-tail"
done
cd /
umount_target
if mountpoint -q "$target"; then
    die "$target could not be unmounted."
fi
sync
farrier_post end || echo "Farrier: the end of the installation could not be reported."
