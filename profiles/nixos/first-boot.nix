# Takes the machine's hand-off when the installed system runs for the first time. The installer leaves the
# script, the certificate to trust and the marker in /var/lib/farrier. To be imported by whatever is
# installed: configuration.nix does, and a flake of yours must.
{ pkgs, ... }:
{
  systemd.services.farrier-first-boot = {
    description = "Farrier's hand-off on first boot";
    wantedBy = [ "multi-user.target" ];
    wants = [ "network-online.target" ];
    after = [ "network-online.target" "sshd.service" ];
    unitConfig.ConditionPathExists = "/var/lib/farrier/pending";
    # a step may rebuild the system, and must not end itself
    restartIfChanged = false;
    stopIfChanged = false;
    environment = {
      FARRIER_PATH = "/run/wrappers/bin:/run/current-system/sw/bin:/run/current-system/sw/sbin";
      FARRIER_TRUST = "/var/lib/farrier/trust";
    };
    serviceConfig = {
      Type = "oneshot";
      ExecStart = "${pkgs.runtimeShell} /var/lib/farrier/first-boot";
      TimeoutStartSec = "infinity";
      StandardOutput = "journal+console";
      StandardError = "journal+console";
    };
  };
  environment.systemPackages = [ pkgs.curl ];
}
