# The most advanced standby must not, or can't, be promoted: another one fetches from it
# what it lacks, within the term, and is promoted; no row is lost (F16, F18, L4).
use strict;
use warnings;
use RegentCluster qw(wait_until slurp);
use Test::More;

my $c = RegentCluster->new(nodes => 3, node_regent => { n2 => { priority => 0 } });
$c->up;
$c->sql('n1', 'CREATE TABLE t (id int PRIMARY KEY)');
$c->wait_caught_up('n1', 'n2', 'n3');

# From here on the standby gets nothing: somebody else holds its slot on the leader.
sub make_lag
{
	my ($leader, $standby) = @_;
	my $n = $c->node($leader);
	my $slot = "slot_name = 'regent_$standby'";
	my $pid = $c->sql($standby, 'SELECT pid FROM pg_stat_wal_receiver');
	kill 'STOP', $pid;
	$c->sql($leader, "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE $slot");
	wait_until(sub { $c->sql($leader, "SELECT active FROM pg_replication_slots WHERE $slot") eq 'f' }, 20, 'a free slot');
	mkdir $c->dir . "/thief_$standby";
	$c->{pids}{"thief_$standby"} = $c->spawn([ "$RegentCluster::bindir/pg_receivewal", '-n', '-S', "regent_$standby",
		'-D', $c->dir . "/thief_$standby", '-h', $n->{host}, '-p', $n->{port}, '-U', 'postgres' ], '/dev/null');
	wait_until(sub { $c->sql($leader, "SELECT active FROM pg_replication_slots WHERE $slot") eq 't' }, 20, 'a taken slot');
	kill 'CONT', $pid;
}

# All its processes at once: a walsender that outlives the postmaster would find the slot free.
sub kill_all
{
	my ($name) = @_;
	my $pid = $c->postmaster($name);
	kill 'KILL', $pid, grep { $_ != $pid } $c->processes($name);
}

# ---- priority 0 ----

make_lag('n1', 'n3');
$c->sql('n1', 'INSERT INTO t SELECT generate_series(1, 5000)');
$c->wait_caught_up('n1', 'n2');
is($c->sql('n3', 'SELECT count(*) FROM t'), '0', 'n3 lags; n2 has all and is never promoted');
my $started = $c->sql('n3', 'SELECT pg_postmaster_start_time()');
kill_all('n1');
my $s = $c->wait_failover('n1');
my ($fetch) = grep { $_->{event} eq 'wal_fetch' } $c->events;
like($fetch->{message}, qr/n3 fetches WAL from \S+ up to \S+ from n2 \(priority 0/, 'n3 fetches from n2');
is($s->{leader}, 'n3', 'n3 leads');
is($c->sql('n3', 'SELECT count(*) FROM t'), '5000', 'no row is missing');
is($c->sql('n3', 'SELECT pg_postmaster_start_time()'), $started, 'without a restart');
RegentCluster::reap(delete $c->{pids}{thief_n3}, 20);
$c->wait_node($_, 'ok') for qw(n1 n2);
$c->wait_caught_up('n3', 'n1', 'n2');
is($c->sql($_, 'SELECT count(*) FROM t'), '5000', "$_ has all rows") for qw(n1 n2);

# ---- replay is stuck ----

# more connections on the leader than n2 has room for: n2 receives, and stops replaying
$c->sql($_, 'ALTER SYSTEM SET max_connections = 60') for qw(n1 n3);
for my $name (qw(n1 n3))
{
	$c->stop_server($name);
	$c->start_server($name);
	$c->wait_status(sub { $_[0]{phase} eq 'steady' && !grep { $_->{name} ne 'n2' && $_->{state} ne 'ok' } @{ $_[0]{nodes} } }, 60, "$name to be back");
}
is($c->status->{leader}, 'n3', 'n3 still leads');
wait_until(sub { $c->sql('n2', 'SELECT pg_is_wal_replay_paused()') eq 't' }, 30, 'replay of n2 to be paused');
make_lag('n3', 'n1');
wait_until(sub { defined $c->sql('n3', 'INSERT INTO t SELECT generate_series(5001, 9000)', may_fail => 1) }, 20, 'rows');
my $lsn = $c->sql('n3', 'SELECT pg_current_wal_flush_lsn()');
wait_until(sub { $c->sql('n2', "SELECT pg_last_wal_receive_lsn() >= '$lsn'") eq 't' }, 20, 'n2 to receive all');
is($c->sql($_, 'SELECT count(*) FROM t'), '5000', "$_ does not show the new rows") for qw(n1 n2);

# n2 also has the beginning of a record, and can't know that its end never came: a message is
# not flushed by itself, only whole pages of it; the worker, which writes markers, stands still
sub torn { return $c->sql('n2', "SELECT (pg_last_wal_receive_lsn() - '0/0') % 8192") eq '0' }
kill 'STOP', $c->sql('n3', "SELECT pid FROM pg_stat_activity WHERE backend_type LIKE 'pg_regent%'");
for my $try (1 .. 50)
{
	$c->sql('n3', q{SELECT pg_logical_emit_message(false, 'test', repeat('x', 20000))});
	last if eval { wait_until(\&torn, 1, 'a part of a record') };
}
ok(torn(), 'n2 has the beginning of a record');
kill_all('n3');
$s = $c->wait_failover('n3', 60);
($fetch) = grep { $_->{event} eq 'wal_fetch' && $_->{message} =~ /term 3/ } $c->events;
like($fetch->{message} // '', qr/n1 fetches WAL from \S+ up to \S+ from n2/, 'n1 fetches what n2 could not replay');
is($s->{leader}, 'n1', 'n1 leads');
is($c->sql('n1', 'SELECT count(*) FROM t'), '9000', 'no row is missing');
like(slurp($c->node('n1')->{log}), qr/pg_regent fetched WAL from "n2" in term 3/, 'the log of n1 tells');

# not in a term that is over
is($c->sql('n2', "SELECT regent.fetch_wal(watchdog, 1, 2, 'n1', 'host=127.0.0.1', 'regent_n2', '0/0', 2000) FROM regent.rule LIMIT 1", may_fail => 1),
	undef, 'nothing is fetched for an older term');
done_testing();
