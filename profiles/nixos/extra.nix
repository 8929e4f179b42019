# Part of every system that is installed from configuration.nix. A profile that inherits from this one can
# have a file of this name, with whatever Farrier has no words for.
{ ... }:
{
}
