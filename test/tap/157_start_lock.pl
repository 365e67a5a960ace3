# No server starts in a directory that regent-node is about to exchange for another:
# it waits for the node's lock, gives up, and tells what to type; a start by
# regent-node ends a helper that is frozen with the lock.  One whose directory was
# exchanged while it waited does not start in the wrong one.
use strict;
use warnings;
use Fcntl qw(:flock);
use RegentCluster qw(wait_until slurp run_command);
use Test::More;

my $c = RegentCluster->new(nodes => 1, no_sshd => 1);
my ($dir, $log) = @{ $c->node('n1') }{qw(dir log)};
my @start = ("$RegentCluster::bindir/pg_ctl", '-D', $dir, '-l', $log, '-w', '-t', 60, '-s', 'start');

# What the log has got since it was this long.
sub log_since { my ($size) = @_; return substr(slurp($log) // '', $size) }

sub take_lock
{
	open(my $lock, '>>', "$dir/regent.lock") or die "regent.lock: $!";
	flock($lock, LOCK_EX | LOCK_NB) or die 'regent.lock is held';
	return $lock;
}

# A start by hand that has got as far as its pid file.
sub begin_start
{
	my $pid = $c->spawn([@start], "$c->{dir}/start.out");
	wait_until(sub { -e "$dir/postmaster.pid" }, 20, 'the start to begin');
	return $pid;
}

subtest 'a start waits for the lock' => sub {
	$c->stop_server('n1');
	my $lock = take_lock();
	my $pid = begin_start();
	isnt((run_command([ "$RegentCluster::bindir/pg_isready", '-q', '-h', '127.0.0.1', '-p', $c->node('n1')->{port} ]))[0], 0, 'it takes no sessions meanwhile');
	close $lock;
	is(RegentCluster::reap($pid, 60), 0, 'and goes on when it is free');
	is($c->sql('n1', 'SELECT 1'), 1);
};

subtest 'it gives up, and regent-node ends a helper that is frozen with the lock' => sub {
	$c->stop_server('n1');
	my $size = -s $log;
	my $helper = $c->spawn([ 'sh', '-c', 'cd "$1" && exec 9>>regent.lock && flock 9 && kill -STOP $$; sleep 600', 'sh', $dir ], "$c->{dir}/helper.out");
	wait_until(sub { (slurp("/proc/$helper/stat") // '') =~ /\) T / }, 20, 'the helper to stand still');
	isnt((run_command([@start], timeout => 90))[0], 0, 'a start by hand fails');
	like(log_since($size), qr/FATAL:.*regent-node is at work in this data directory\n.*DETAIL:.*"regent\.lock" for 10 seconds.*\n.*HINT:.*regent-node \S+ start/, 'and says why, and what to type');
	my ($rc, $out) = $c->helper('n1', 'start');
	is($rc, 0, 'which starts it') or diag($out);
	is(RegentCluster::reap($helper, 20), 9, 'and has ended the helper');
	is($c->sql('n1', 'SELECT 1'), 1);
};

subtest 'one whose directory was exchanged meanwhile does not start' => sub {
	$c->stop_server('n1');
	RegentCluster::must([ 'cp', '-a', $dir, "$dir.other" ]);
	my $lock = take_lock();
	my $size = -s $log;
	my $pid = begin_start();
	rename($dir, "$dir.was") && rename("$dir.other", $dir) or die "rename: $!";
	close $lock;
	isnt(RegentCluster::reap($pid, 60), 0, 'the start fails');
	like(log_since($size), qr/FATAL:.*data directory "\Q$dir\E" was exchanged while the server was starting/, 'and says why');
	$c->start_server('n1');
	is(readlink('/proc/' . $c->postmaster('n1') . '/cwd'), $dir, 'the next one runs in the new directory');
	is($c->sql('n1', 'SELECT 1'), 1);
};

$c->finish;
done_testing();
