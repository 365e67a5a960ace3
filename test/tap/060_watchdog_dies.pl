# regentd is killed at each step of a failover, right before and right after
# its decision is on disk, and started again: it ends with one writable node,
# all rows, everybody streaming.
use strict;
use warnings;
use RegentCluster qw(wait_until spew);
use Test::More;

my $c = RegentCluster->new(nodes => 3);
$c->up;
my $preload = "$RegentCluster::top/test/bench/build/crash_at_sync.so";
my $armed = $c->dir . '/armed';
$c->sql('n1', 'CREATE TABLE t (id serial PRIMARY KEY, round int)');
my $leader = 'n1';
my $rows = 0;

# without any watchdog the service goes on (F37)
$c->kill9_regentd;
is($c->sql($leader, 'INSERT INTO t (round) VALUES (0) RETURNING id'), ++$rows, 'no watchdog: writes go on');

my $reached = 0;
for my $n (1 .. 6)
{
	for my $when ('before', 'after')
	{
		unlink $armed;
		$c->start_regentd(env => { LD_PRELOAD => $preload, CRASH_AT_SYNC => $n, CRASH_WHEN => $when, CRASH_ARMED => $armed });
		$c->wait_ready(60);
		spew($armed, '');
		$c->kill_primary($leader);
		my $died = eval { wait_until(sub { $c->regentd_has_ended || (($c->status || {})->{leader} // $leader) ne $leader }, 20, 'an end'); 1 }
			&& $c->regentd_has_ended;
		$reached++ if $died;
		$c->kill9_regentd;
		unlink $armed;
		$c->start_regentd;
		my $s = $c->wait_whole("write $n, $when: a whole cluster");
		my @primaries = grep { $c->sql($_, 'SELECT pg_is_in_recovery()') eq 'f' } $c->names;
		is("@primaries", $s->{leader}, "journal write $n, killed $when it" . ($died ? '' : ' (not reached)') . ": one writable node, $s->{leader}, term $s->{term}");
		$leader = $s->{leader};
		is($c->sql($leader, "INSERT INTO t (round) VALUES ($n) RETURNING (SELECT count(*) FROM t)"), $rows++, 'all rows are there');
		$c->wait_caught_up($leader, grep { $_ ne $leader } $c->names);
		is($c->sql($_, 'SELECT count(*) FROM t'), $rows, "$_ has them, too") for $c->names;
		$c->stop_regentd;
	}
}
cmp_ok($reached, '>=', 6, "regentd died at $reached seams of a failover");
is($c->sql($leader, 'SELECT count(*) = count(DISTINCT term) FROM regent.rule'), 't', 'one rule per term');
done_testing();
