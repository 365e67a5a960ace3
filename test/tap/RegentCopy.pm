# A copy that stands still when so many percent of its bytes have come, or when it syncs.
package RegentCopy;

use strict;
use warnings;

use Exporter 'import';
use File::Find ();
use RegentCluster qw(wait_until slurp);
use Time::HiRes qw(sleep);

our @EXPORT_OK = qw(by_title hold_copy size_of syncfs_env);

# syncfs_env(log): the environment of a helper each of whose syncs is noted there, and waits or
# fails (hold_syncfs.c)
sub syncfs_env
{
	my ($log) = @_;
	unlink $log;
	return (LD_PRELOAD => "$RegentCluster::top/test/bench/build/hold_syncfs.so", SYNCFS_LOG => $log);
}

my $copying = qr/walsender.*(BASE_BACKUP|sending backup)/;

# bytes of the files below these directories, as far as they are there; without WAL
sub size_of
{
	my $size = 0;
	File::Find::find({ no_chdir => 1, wanted => sub { my $s = -f $_ && !m{/pg_wal/} ? -s _ : 0; $size += $s // 0 } }, grep { -d } @_);
	return $size;
}

# one of a node's server processes, by its title
sub by_title
{
	my ($c, $node, $title) = @_;
	my ($pid) = grep { (slurp("/proc/$_/cmdline") // '') =~ $title } $c->processes($node);
	return $pid;
}

# Lets a stopped process go on for a moment.
sub step
{
	my ($pid) = @_;
	kill 'CONT', $pid;
	sleep(0.001);
	kill 'STOP', $pid;
}

# hold_copy(cluster, source, percent, all, begin, directories...): begin() starts a copy
# from this node and returns the file of its output; it stands still when so many percent of
# all bytes lie in these directories.  At 99 percent all data are there, and the last WAL does
# not come.  Returns the stopped walsender.
sub hold_copy
{
	my ($c, $source, $percent, $all, $begin, @filled) = @_;
	# a copy waits for its checkpoint, so that none is over before it was seen
	my $checkpointer = by_title($c, $source, qr/checkpointer/) or die "$source has no checkpointer";
	my $walsender;
	wait_until(sub { !by_title($c, $source, $copying) }, 10, 'the copy before to end');
	kill 'STOP', $checkpointer;
	my $log = $begin->();
	my $output = sub { slurp($log) };
	wait_until(sub { $walsender = by_title($c, $source, $copying) }, 30, 'a copy to begin', $output);
	kill 'STOP', $walsender;
	kill 'CONT', $checkpointer;
	if ($percent == 99)
	{
		my $data = $walsender;
		wait_until(sub { return 1 if $walsender = by_title($c, $source, qr/walsender.*(START_REPLICATION|streaming)/); step($data); return 0 }, 30, 'WAL to flow', $output);
		kill 'STOP', $walsender;
		kill 'CONT', $data;
	}
	wait_until(sub { return 1 if size_of(@filled) >= $all * $percent / 100; step($walsender) if $percent < 99; return 0 }, 60, "$percent percent", $output);
	return $walsender;
}

1;
