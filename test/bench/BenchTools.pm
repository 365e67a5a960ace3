# BenchTools.pm
#    What the benches of copies share: a link as between two hosts, the file system,
#    the median.
package BenchTools;

use strict;
use warnings;
use Exporter 'import';
use IO::Socket::INET;
use POSIX ();
use RegentCluster qw(run_command free_port wait_until);
use Time::HiRes qw(time);

our @EXPORT_OK = qw(link_to link_capacity median file_system);

sub median { my @s = sort { $a <=> $b } @_; return @s % 2 ? $s[ $#s / 2 ] : ($s[ @s / 2 - 1 ] + $s[ @s / 2 ]) / 2 }

sub start_link
{
	my ($cluster, $port, $mb) = @_;
	my $ours = free_port();
	return ($ours, $cluster->spawn([ "$RegentCluster::top/test/bench/build/link", $ours, $port, $mb ], $cluster->dir . '/link.log'));
}

# The port of a link of so many MB a second, in each direction, to $port.  It ends with us.
sub link_to
{
	my ($cluster, $port, $mb) = @_;
	my ($ours) = start_link($cluster, $port, $mb);
	wait_until(sub { (run_command([ "$RegentCluster::bindir/pg_isready", '-q', '-h', '127.0.0.1', '-p', $ours ]))[0] == 0 }, 30, 'the link');
	return $ours;
}

# MB a second through the same program when it is told no limit that counts: what is
# slower over the link is so because of the limit.
sub link_capacity
{
	my ($cluster) = @_;
	my $bytes = 2_000_000_000;
	my $listener = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or die "listen: $!";
	my ($ours, $relay) = start_link($cluster, $listener->sockport, 1e6);
	my $sender = fork() // die "fork: $!";
	if ($sender == 0)
	{
		my $to = $listener->accept or POSIX::_exit(1);
		my $block = 'x' x 1_000_000;
		my $left = $bytes;
		$left -= syswrite($to, $block, $left < length $block ? $left : length $block) // POSIX::_exit(1) while $left > 0;
		POSIX::_exit(0);
	}
	my $from;
	wait_until(sub { $from = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $ours) }, 30, 'the link');
	my ($got, $began, $n) = (0, time());
	$got += $n while $n = sysread($from, my $block, 1_000_000);
	my $seconds = time() - $began;
	waitpid $sender, 0;
	kill 'TERM', $relay;
	waitpid $relay, 0;
	die "the link lost bytes: $got of $bytes\n" if $got != $bytes;
	return $bytes / 1e6 / $seconds;
}

# Its type, and whether it shares blocks of files.
sub file_system
{
	my ($dir) = @_;
	my (undef, $type) = run_command([ 'stat', '-f', '-c', '%T', $dir ]);
	chomp $type;
	RegentCluster::spew("$dir/probe", 'x' x 8192);
	my ($rc) = run_command([ 'cp', '--reflink=always', "$dir/probe", "$dir/probe.clone" ]);
	unlink "$dir/probe", "$dir/probe.clone";
	return ($type eq 'ext2/ext3' ? 'ext4' : $type) . ($rc == 0 ? ' (shares blocks)' : ' (does not share blocks)');
}

1;
