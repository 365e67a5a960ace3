# The classic recipe's own plan: two servers and a watchdog.  Write, kill the
# primary, the standby takes writes, write more, the old primary comes back and
# is a standby with all rows.  (Also run with regentd under sanitizers and valgrind.)
use strict;
use warnings;
use RegentCluster qw(wait_until);
use Test::More;

my $c = RegentCluster->new(nodes => 2);
$c->up;

$c->sql('n1', 'CREATE TABLE t (id int PRIMARY KEY, said text)');
$c->sql('n1', "INSERT INTO t SELECT i, 'before' FROM generate_series(1, 1000) i");
$c->wait_caught_up('n1', 'n2');

is($c->sql('n2', 'SELECT regent.walrecrunning()'), 't', 'the standby streams');
is($c->sql('n1', 'SELECT regent.walrecrunning()'), 'f', 'the primary does not');
is($c->sql('n2', "SELECT CASE WHEN pg_is_in_recovery() THEN 'read' ELSE pg_logical_emit_message(false, 'x', 'y')::text END"), 'read',
	'a read on the standby that only mentions a writing function is answered');

$c->kill_primary('n1');
my $s = $c->wait_failover('n1');
is($s->{leader}, 'n2', 'n2 leads');
cmp_ok($s->{term}, '>', 1, 'by a newer term');
is($c->sql('n2', 'SELECT pg_is_in_recovery()'), 'f', 'n2 is not in recovery');
is($c->sql('n2', 'SELECT count(*) FROM t'), '1000', 'no row is missing');
is($c->sql('n2', "INSERT INTO t SELECT i, 'after' FROM generate_series(1001, 2000) i; SELECT count(*) FROM t"),
	'2000', 'n2 takes writes');
is($c->sql('n2', 'SELECT leader FROM regent.rule ORDER BY term DESC, seq DESC LIMIT 1'), 'n2', 'its rule is in the WAL');

my $f = $s->{last_failover};
is("$f->{from} $f->{to} $f->{diagnosis}", 'n1 n2 primary crashed', 'the record says from, to and why');
diag("failover took $f->{outage_ms} ms to the promotion: " . join(', ', map { "$_ $f->{phases}{$_}" } sort keys %{ $f->{phases} }));
ok(defined $f->{phases}{$_}, "phase $_ is recorded") for qw(detect_ms fence_ms recruit_ms promote_ms rule_ms);

# the old primary comes back by itself, as a standby with all rows
$c->wait_node('n1', 'ok', 120);
is($c->sql('n1', 'SELECT pg_is_in_recovery()'), 't', 'n1 is a standby');
$c->wait_caught_up('n2', 'n1');
is($c->sql('n1', 'SELECT count(*) FROM t'), '2000', 'n1 has all rows');
my $cluster = "SELECT string_agg(node_name || ' ' || role || ' ' || state, ', ' ORDER BY node_name) FROM regent.cluster()";
wait_until(sub { $c->sql('n1', $cluster) eq 'n1 standby ok, n2 primary ok' }, 10 * $RegentCluster::slow, 'regent.cluster() on the standby to tell',
	sub { $c->sql('n1', $cluster) });
pass('regent.cluster() on the standby tells');
ok((grep { $_->{event} eq 'failover_begin' } $c->events), 'events tell that it began');
ok((grep { $_->{event} eq 'failover_end' } $c->events), 'and how it ended');
$c->wait_ready;

is($c->stop_regentd, 0, 'regentd ends cleanly');
if (my $log = RegentCluster::slurp($c->dir . '/valgrind.log'))
{
	is($log, '', 'valgrind found nothing');
}
done_testing();
