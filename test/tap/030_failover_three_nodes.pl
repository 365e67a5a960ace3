# Three nodes under a write load: crash, candidate by position, followers
# without a restart, a standby's failure that is noticed and changes nothing.
use strict;
use warnings;
use RegentCluster qw(wait_until);
use Test::More;

my $c = RegentCluster->new(nodes => 3, conf => "wal_retrieve_retry_interval = 5s\n",
	node_regent => { n2 => { priority => 200 } });
$c->up;

# a standby that fails is noticed and never triggers a failover (F02)
$c->kill_server('n3');
$c->wait_node('n3', 'dead');
my $s = $c->status;
is($s->{leader}, 'n1', 'the leader stays');
is($s->{term}, 1, 'and its term');
ok($s->{auto_failover}{ready}, 'failover is still possible: ' . $s->{auto_failover}{reason});
wait_until(sub { $c->sql('n1', "SELECT status FROM regent.cluster() WHERE node_name = 'n3'") eq '3' }, 10, 'pool status 3 of the dead one');
pass("pool status of the dead one");
$c->start_server('n3');
$c->wait_node('n3', 'ok');

# n2 is the favourite, but lags: somebody else holds its slot, so it can't stream (F15, F16)
my $started = $c->sql('n2', 'SELECT pg_postmaster_start_time()');
$c->sql('n1', 'CREATE TABLE t (id int PRIMARY KEY)');
$c->wait_caught_up('n1', 'n2', 'n3');
my $slot_is = sub { my ($what) = @_;
	wait_until(sub { ($c->sql('n1', "SELECT active FROM pg_replication_slots WHERE slot_name = 'regent_n2'") // '') eq $what }, 20, "slot of n2: active $what") };
my $pid = $c->sql('n2', 'SELECT pid FROM pg_stat_wal_receiver');
kill 'STOP', $pid;
$c->sql('n1', "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = 'regent_n2'");
$slot_is->('f');
mkdir $c->dir . '/thief';
my $n1 = $c->node('n1');
$c->{pids}{thief} = $c->spawn([ "$RegentCluster::bindir/pg_receivewal", '-n', '-S', 'regent_n2', '-D', $c->dir . '/thief', '-h', $n1->{host},
	'-p', $n1->{port}, '-U', 'postgres' ], '/dev/null');
$slot_is->('t');
kill 'CONT', $pid;
$c->sql('n1', 'INSERT INTO t SELECT generate_series(1, 5000)');
$c->wait_caught_up('n1', 'n3');
is($c->sql('n2', 'SELECT count(*) FROM t'), '0', 'n2 lags');
$c->kill_primary('n1');
$s = $c->wait_failover('n1');
my ($chosen) = grep { $_->{event} eq 'candidate_chosen' } $c->events;
is($s->{leader}, 'n3', "n3 is chosen, although n2 has the higher priority: $chosen->{message}");
is($c->sql('n3', 'SELECT count(*) FROM t'), '5000', 'no row is missing');
cmp_ok($s->{last_failover}{outage_ms}, '<', 5000 * $RegentCluster::slow,
	'wal_retrieve_retry_interval = 5s does not delay the promotion (L9)');
RegentCluster::reap(delete $c->{pids}{thief}, 20);
my $other = $s->{leader} eq 'n2' ? 'n3' : 'n2';

# everybody follows; the other standby without a restart
$c->wait_node($_, 'ok', 120) for $other, 'n1';
is($c->sql('n2', 'SELECT pg_postmaster_start_time()'), $started, 'n2 was not restarted');
$c->wait_caught_up($s->{leader}, $other, 'n1');
is($c->sql($_, 'SELECT count(*) FROM t'), '5000', "$_ has all rows") for $c->names;

# a second failure of another kind of node order: the new leader dies, too
my $first = $s->{leader};
my $load = $c->start_load(primary => $first);
$c->wait_ready;
$c->kill_primary($first);
$s = $c->wait_failover($first);
cmp_ok($s->{term}, '>=', 3, 'terms grow');
$c->wait_status(sub { !grep { $_->{state} ne 'ok' } @{ $_[0]{nodes} } }, 120, 'all nodes to be ok again');
my $sum = $c->stop_load($load);
cmp_ok(scalar @{ $sum->{ids} }, '>', 100, 'the load was real: ' . @{ $sum->{ids} } . ' commits');
diag("outage as the client saw it: $sum->{outage_ms} ms");
my @primaries = grep { $c->sql($_, 'SELECT pg_is_in_recovery()') eq 'f' } $c->names;
is("@primaries", $s->{leader}, 'exactly one writable node');
is($c->sql($s->{leader}, 'SELECT count(*) = count(DISTINCT term) FROM regent.rule'), 't', 'one rule per term');

# slots that were used under a former leader follow their owners on a standby (F34)
for my $name (grep { $_ ne $s->{leader} } $c->names)
{
	wait_until(sub { $c->sql($name, "SELECT count(*) FROM pg_replication_slots, pg_control_checkpoint() WHERE restart_lsn < redo_lsn") == 0 }, 60,
		"the slots on $name to let go of their WAL");
}
pass('slots on the standbys keep no WAL that a restartpoint does not keep');
is($c->sql($s->{leader}, "SELECT count(*) FROM pg_replication_slots WHERE active AND slot_name LIKE 'regent_%'"), '2', 'those on the leader are in use');

# a voter that was down while another one was promoted finds its WAL there when it comes back
my $away = (grep { $_ ne $s->{leader} } $c->names)[0];
$c->stop_server($away);
$c->wait_status(sub { $_[0]{auto_failover}{ready} }, 60, 'readiness without the third one');
$first = $s->{leader};
$c->kill_primary($first);
$s = $c->wait_failover($first);
for (1 .. 3)
{
	$c->sql($s->{leader}, 'CREATE TABLE IF NOT EXISTS later AS SELECT generate_series(1, 1000)');
	$c->sql($s->{leader}, 'SELECT pg_switch_wal()');
	$c->sql($s->{leader}, 'CHECKPOINT');
}
$c->start_server($away);
$c->wait_node($away, 'ok', 60);
ok(!(grep { $_->{node} eq $away && $_->{kind} eq 'rebuild' } @{ $c->status->{jobs} || [] }), "$away follows plainly: the slot kept its WAL since the promotion");
is($c->sql($s->{leader}, "SELECT wal_status FROM pg_replication_slots WHERE slot_name = 'regent_$away'"), 'reserved', 'its slot is sound');

# the process title of the worker
my $ps = `ps -eo args`;
like($ps, qr/pg_regent.*standby.*timeline/i, 'ps shows role and timeline of the worker');
done_testing();
