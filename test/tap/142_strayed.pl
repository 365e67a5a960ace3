# In strict the leader goes on by order from an older disk.  The standby that holds what was
# given up is back, connects by itself and says that it has flushed far more than it was sent:
# no commit rests on that.  Commits wait until its copy streams.
use strict;
use warnings;
use RegentCluster qw(wait_until slurp spew);
use POSIX ();
use Test::More;
use Time::HiRes qw(time);

my $c = RegentCluster->new(nodes => 2, regent => { lease => '2s', restart_budget => '2s', durability => 'strict' });
$c->up;
$c->sql('n1', 'CREATE TABLE t (id serial PRIMARY KEY, said text)');
my $rows = 0;

sub write_some
{
	$c->sql('n1', "INSERT INTO t (said) SELECT 'x' FROM generate_series(1, 100)");
	$rows += 100;
}

write_some();
$c->wait_whole;
$c->wait_caught_up('n1', 'n2');
my ($n1, $n2) = map { $c->node($_)->{dir} } qw(n1 n2);
$c->kill9_regentd;
$c->power_off('n1', 'n2');
RegentCluster::must([ 'cp', '-a', $n1, "$n1.older" ]);
$c->power_on(qw(n1 n2));
$c->start_regentd;
$c->wait_whole;
my $older = $rows;

# so much that n1, once it has gone on, writes below what n2 has
my $since = time;
wait_until(sub { write_some(); time - $since > 6 }, 60, 'rows of several leases');
$c->sql('n1', "INSERT INTO t (said) SELECT repeat('x', 1000) FROM generate_series(1, 2000)");
$c->wait_caught_up('n1', 'n2');
my $held = $c->sql('n1', 'SELECT pg_current_wal_lsn()');
$c->kill9_regentd;
$c->power_off('n1', 'n2');
rename $n1, "$n1.newer" or die "$n1: $!";
rename "$n1.older", $n1 or die "$n1.older: $!";
rename $n2, "$n2.gone" or die "$n2: $!";
$c->power_on('n1');
$c->start_regentd;
$c->wait_status(sub { RegentCluster::node_of($_[0], 'n1')->{reason} =~ /--accept-loss/ || $_[0]{diagnosis} eq 'leader behind' },
	60 * $RegentCluster::slow, 'n1 to be found behind');
my ($rc, $out, $err);
wait_until(sub { ($rc, $out, $err) = $c->regent('failover', 'n1', '--accept-loss', '--yes'); $rc == 0 || $err !~ /has to be ended/ }, 20, 'an answer to the order');
is($rc, 0, 'by order n1 goes on') or diag("$out$err" . $c->regentd_log_tail);
$c->wait_status(sub { $_[0]{leader} eq 'n1' && RegentCluster::node_of($_[0], 'n1')->{writable} }, 60 * $RegentCluster::slow, 'n1 to lead');

# a commit waits; n1 goes on past what n2 has, by commits that ask for no standby
my $insert = $c->spawn([ "$RegentCluster::bindir/psql", '-XqAtd', $c->conninfo('n1'), '-c', "INSERT INTO t (said) VALUES ('waits')" ], "$n1.insert.log");
wait_until(sub { $c->sql('n1', "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%waits%' AND wait_event_type = 'IPC' AND pid <> pg_backend_pid()") }, 20, 'the commit to wait');
cmp_ok(RegentCluster::lsn_number($c->sql('n1', 'SELECT pg_current_wal_flush_lsn()')), '<', RegentCluster::lsn_number($held), 'a commit waits, at a position that n2 has passed');
$c->sql('n1', "SET synchronous_commit = local; INSERT INTO t (said) SELECT repeat('y', 1000) FROM generate_series(1, 3000)");
cmp_ok(RegentCluster::lsn_number($c->sql('n1', 'SELECT pg_current_wal_flush_lsn()')), '>', RegentCluster::lsn_number($held), 'n1 goes on past that');

# n2 is back, and the watchdog can't log in to it
rename "$n2.gone", $n2 or die "$n2.gone: $!";
my $hba = slurp("$n2/pg_hba.conf");
spew("$n2/pg_hba.conf", "host all regent 0.0.0.0/0 reject\n$hba");
my $asked = () = slurp($c->node('n1')->{log}) =~ /walsender n2 LOG:  received replication command: START_REPLICATION/g;
$c->power_on('n2');
wait_until(sub { my $n = () = slurp($c->node('n1')->{log}) =~ /walsender n2 LOG:  received replication command: START_REPLICATION/g; $n > $asked + 100 },
	60 * $RegentCluster::slow, 'n2 to connect to n1 again and again');
like($c->sql('n1', 'SELECT left_out FROM regent.rule ORDER BY term DESC, seq DESC LIMIT 1'), qr/n2/, 'the rule leaves n2 out, and asks for a standby all the same');
is($c->sql('n1', 'SELECT quorum FROM regent.rule ORDER BY term DESC, seq DESC LIMIT 1'), '1', 'for one');
is(waitpid($insert, POSIX::WNOHANG()), 0, 'the commit waits') or diag("it ended with status $?: " . slurp("$n1.insert.log"));

# it is copied, and the commit goes through
spew("$n2/pg_hba.conf", $hba);
$c->sql('n2', 'SELECT pg_reload_conf()');
is(RegentCluster::reap($insert, 120 * $RegentCluster::slow), 0, 'it is acknowledged in the end') or diag(slurp("$n1.insert.log") . $c->regentd_log_tail);
$c->wait_whole;
$c->wait_caught_up('n1', 'n2');
is($c->sql('n2', 'SELECT count(*) FROM t'), $older + 3001, 'n2 has the rows of n1 and no others');
ok((grep { $_->{event} eq 'rebuild_end' && $_->{message} =~ /rebuild of n2 is done/ } $c->events), 'it was copied');
done_testing();
