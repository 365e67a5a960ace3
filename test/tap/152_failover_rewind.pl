# What async may lose, from the first moment to the last: a leader that hangs with
# commits that no standby has got is fenced, another one leads, and regentd brings the
# old one back by pg_rewind on its own.  What was given up is measured in its WAL, kept
# there with a list, and told: the record of the failover, events, status and explain
# agree, and exactly those rows are gone.
use strict;
use warnings;
use RegentCluster qw(wait_until slurp);
use Test::More;

# a standby that is behind may lead, however long it takes to freeze the leader
my $c = RegentCluster->new(nodes => 3, conf => "autovacuum = off\n",
	regent => { hang_budget => '1s', lease => '2s', max_lag_time => '10min' });
$c->up;
my $lost = 7;

sub last_failover { return $c->status->{last_failover} }

sub freeze
{
	my (@pids) = @_;
	kill 'STOP', @pids;
	wait_until(sub { !grep { (slurp("/proc/$_/stat") // '') !~ /\) [TZX] [^)]*\z/ } @pids }, 10, 'processes to stand still');
}

$c->sql('n1', "CREATE TABLE t AS SELECT i AS id, 'common' AS who FROM generate_series(1, 1000) i");
$c->sql('n1', 'CHECKPOINT');
$c->wait_caught_up('n1', 'n2', 'n3');
my $common = $c->sql('n2', 'SELECT pg_last_wal_replay_lsn()');
my $relation = $c->sql('n1', "SELECT 't'::regclass::oid");
my ($database, $space) = split /\|/, $c->sql('n1', "SELECT oid, dattablespace FROM pg_database WHERE datname = 'postgres'");

# ---- a record that the standbys have in part, and commits that only the leader has ----

# A message is not flushed by itself; the walwriter flushes whole pages, so what is sent
# ends within it, unless somebody flushes meanwhile: then another one.  The worker, which
# writes markers, stands still.
my @walsenders = split /\n/, $c->sql('n1', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walsender'");
my $message = q{SELECT pg_logical_emit_message(false, 'test', repeat('x', 20000))};
sub torn { return 2 == grep { $c->sql($_, 'SELECT pg_last_wal_receive_lsn() > pg_last_wal_replay_lsn()') eq 't' } qw(n2 n3) }
freeze($c->sql('n1', "SELECT pid FROM pg_stat_activity WHERE backend_type LIKE 'pg_regent%'"));
for my $try (1 .. 50)
{
	$c->sql('n1', $message);
	freeze(@walsenders) if eval { wait_until(\&torn, 1, 'a part of a record') };
	last if torn();
	kill 'CONT', @walsenders;
}
ok(torn(), 'the standbys have the beginning of a record');
my $frozen = $c->sql('n1', 'SELECT pg_current_wal_lsn()');
for my $n (1 .. $lost)
{
	is($c->sql('n1', "INSERT INTO t VALUES (10000 + $n, 'lost') RETURNING id"), 10000 + $n, "row $n is acknowledged");
}
my $after = $c->sql('n1', 'SELECT pg_current_wal_lsn()');
$c->wait_status(sub {
	my $lsn = RegentCluster::node_of($_[0], 'n1')->{current_lsn} // '0/0';
	RegentCluster::lsn_number($lsn) >= RegentCluster::lsn_number($after) }, 20, 'regentd to see how far the leader is');
freeze($c->processes('n1'));

# ---- failover ----

my $s = $c->wait_failover('n1');
my $leader = $s->{leader};
my $f = $s->{last_failover};
is("$f->{from} $f->{diagnosis}", 'n1 hung', "n1 hung, $leader leads in term $s->{term}");
my $end = $c->wait_event('failover_end', 20);
like($end->{message}, qr/; \d+ bytes of WAL or more are given up: n1 had shown \Q$f->{loss}{to_lsn}\E/, 'the end of the failover tells what the leader had shown');
is($c->sql($leader, "SELECT count(*) FROM t WHERE who = 'lost'"), 0, 'the new leader has none of it');
$c->sql($leader, "INSERT INTO t SELECT i, 'new' FROM generate_series(20001, 20100) i");
pass('it takes writes');
$c->wait_caught_up($leader, grep { $_ ne $leader } qw(n2 n3));
unlike(slurp($c->node($leader)->{log}), qr/shows WAL that/, 'and nobody shows it the part of the record as WAL that it lacks');

# ---- it comes back by itself ----

$c->wait_node('n1', 'ok', 120);
$s = $c->wait_status(sub { !grep { $_->{state} ne 'done' } @{ $_[0]{jobs} } }, 60, 'the job to end');
my ($job) = grep { $_->{kind} eq 'rebuild' && $_->{node} eq 'n1' } @{ $s->{jobs} };
ok($job && $job->{automatic} && $job->{using} eq 'rewind', 'n1 was brought back by regentd, by pg_rewind')
	or diag(explain($s->{jobs}));
like($c->wait_event('rebuild_end', 20, qr/n1/)->{message}, qr/rewind/, 'the event says how');
ok(!-e $c->node('n1')->{dir} . '.regent-old', 'in its own directory');
$c->wait_caught_up($leader, grep { $_ ne $leader } $c->names);
my $rows = q{SELECT count(*) || ' ' || md5(string_agg(t::text, ',' ORDER BY id)) FROM t};
my $all = $c->sql($leader, $rows);
like($all, qr/^1100 /, 'the rows of both, and not those that were given up');
is($c->sql($_, $rows), $all, "$_ has the rows of the leader") for $c->names;

# ---- what was given up ----

my $loss = last_failover()->{loss};
my ($fork) = slurp(sprintf '%s/pg_wal/%08X.history', $c->node($leader)->{dir}, $s->{term}) =~ m{^1\t(\S+)}m;
ok($loss->{measured}, 'measured');
is($loss->{from_lsn}, $fork, "from the fork at $fork");
my @at = map { RegentCluster::lsn_number($_) } $common, $fork, $frozen;
ok($at[0] <= $at[1] && $at[1] <= $at[2], "which is where the standbys were: from $common on, $frozen at most");
cmp_ok(RegentCluster::lsn_number($loss->{to_lsn}), '>=', RegentCluster::lsn_number($after), "to $loss->{to_lsn}, all that the leader had");
is($loss->{bytes}, RegentCluster::lsn_number($loss->{to_lsn}) - RegentCluster::lsn_number($fork), "$loss->{bytes} bytes");
is($loss->{transactions}, $lost, "$lost transactions");

# ---- kept, with a list ----

my $list = slurp("$loss->{kept}/changes") // '';
like($list, qr/^fork \Q$fork\E timeline 1$/m, "the list in $loss->{kept} has the fork");
like($list, qr/^transactions $lost$/m, 'the number of transactions');
is(scalar(() = $list =~ /^commit \d+ 20\d\d-/mg), $lost, 'each commit with its time');
like($list, qr{^relation $space/$database/$relation \d+$}m, 'and the relation that they changed');
my ($segment) = map { m{([^/]+)$} } glob("$loss->{kept}/????????????????????????");
my ($rc, $out, $err) = RegentCluster::run_command([ "$RegentCluster::bindir/pg_waldump", '-p', $loss->{kept}, '-s', $fork, '-r', 'Heap', $segment ]);
is(scalar(() = $out =~ m{desc: INSERT(?:\+INIT)? .*rel $space/$database/$relation }g), $lost, 'the WAL that is kept has each row') or diag($out . $err);

# ---- and told ----

my $range = qr/from \Q$fork\E to \Q$loss->{to_lsn}\E/;
my $e = $c->wait_event('loss_measured', 20);
like($e->{message}, qr/^n1 held $loss->{bytes} bytes of WAL \($lost transactions\) beyond the fork, $range, kept there in \Q$loss->{kept}\E; commits that clients were told of may be among them$/,
	'event loss_measured');
ok($e->{alarm}, 'an alarm');
like(($c->regent('events'))[1], qr/loss_measured.*\($lost transactions\)/, 'regent events');

sub is_told
{
	my ($when) = @_;
	like(($c->regent('status'))[1], qr{^ +WAL given up: .* \(\Q$fork\E to \Q$loss->{to_lsn}\E\), $lost transactions, kept in \Q$loss->{kept}\E$}m, "regent status$when");
	like(($c->regent('explain'))[1], qr{^Given up by the failover of term $s->{term}, n1 to $leader: $loss->{bytes} bytes of WAL of n1, $range, $lost transactions, kept there in \Q$loss->{kept}\E\.$}m,
		"regent explain$when");
}
is_told('');
$c->stop_regentd;
$c->start_regentd;
$c->wait_ready;
is_told(', also after a restart of regentd');
done_testing();
