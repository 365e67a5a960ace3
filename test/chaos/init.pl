# init.pl HOSTNAME BOOT_ID_FILE
#    Process 1 of a host: makes /proc its own, collects orphans, does nothing else.
#    Killing it is pulling the plug.
use strict;
use warnings;
use POSIX qw(:sys_wait_h);

my ($name, $boot_id) = @ARGV;
system('hostname', $name);
# a host has a boot id of its own; the kernel has only one
system('mount', '--bind', $boot_id, '/proc/sys/kernel/random/boot_id') == 0 or die "init of $name: no boot id\n";
$SIG{TERM} = $SIG{INT} = $SIG{HUP} = 'IGNORE';
$SIG{CHLD} = sub { };
print "ready\n";
close STDOUT;
while (1)
{
	1 while waitpid(-1, WNOHANG) > 0;
	select(undef, undef, undef, 0.25);
}
