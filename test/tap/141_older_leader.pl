# The leader's disk is replaced by an older copy, and the standby that holds more is
# away: nobody opens by itself.  By order the leader goes on, on a timeline of its own,
# so that the standby, when it is back, is seen to hold other rows and is copied.
use strict;
use warnings;
use RegentCluster qw(wait_until);
use Test::More;
use Time::HiRes qw(time);

my $c = RegentCluster->new(nodes => 2, regent => { lease => '2s', restart_budget => '2s' });
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
my $older = $rows;
my ($n1, $n2) = map { $c->node($_)->{dir} } qw(n1 n2);

# a copy of n1 as it is now
$c->kill9_regentd;
$c->power_off('n1', 'n2');
RegentCluster::must([ 'cp', '-a', $n1, "$n1.older" ]);
$c->power_on(qw(n1 n2));
$c->start_regentd;
is($c->wait_whole->{leader}, 'n1', 'n1 leads');

# the journal has a line about the newest position for each lease
my $since = time;
wait_until(sub { write_some(); time - $since > 6 }, 60, 'rows of several leases');
$c->wait_caught_up('n1', 'n2');
$c->kill9_regentd;
$c->power_off('n1', 'n2');
rename $n1, "$n1.newer" or die "$n1: $!";
rename "$n1.older", $n1 or die "$n1.older: $!";
rename $n2, "$n2.gone" or die "$n2: $!";
$c->power_on('n1');
$c->start_regentd;

my $s = $c->wait_status(sub { RegentCluster::node_of($_[0], 'n1')->{reason} =~ /--accept-loss/ || $_[0]{diagnosis} eq 'leader behind' },
	60 * $RegentCluster::slow, 'n1 to be found behind');
is($c->sql('n1', 'INSERT INTO t (said) VALUES (0)', may_fail => 1), undef, 'n1 takes no write: it has lost some');
my $term = $s->{term};

# refused before its helper has shown the server
my ($rc, $out, $err);
wait_until(sub { ($rc, $out, $err) = $c->regent('failover', 'n1', '--accept-loss', '--yes'); $rc == 0 || $err !~ /has to be ended/ }, 20, 'an answer to the order');
is($rc, 0, 'by order it goes on') or diag("$out$err" . $c->regentd_log_tail);
$s = $c->wait_status(sub { $_[0]{leader} eq 'n1' && RegentCluster::node_of($_[0], 'n1')->{writable} }, 60 * $RegentCluster::slow, 'n1 to lead');
cmp_ok($s->{term}, '>', $term, 'in a new term');
is($c->sql('n1', 'SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)'), sprintf('%08X', $s->{term}), 'on a timeline of its own');
is($c->sql('n1', 'SELECT count(*) FROM t'), $older, 'with the rows of the older copy');
like($s->{last_failover}{given_up}, qr/declared lost: n2/, "it is recorded: $s->{last_failover}{given_up}");
$rows = $older;
write_some();

# n2 comes back with more, of the old timeline
rename "$n2.gone", $n2 or die "$n2.gone: $!";
$c->power_on('n2');
$s = $c->wait_whole;
is($s->{leader}, 'n1', 'n2 is brought back as a standby');
$c->wait_caught_up('n1', 'n2');
is($c->sql('n2', 'SELECT count(*) FROM t'), $rows, 'with the rows of n1 and no others');
ok((grep { $_->{event} eq 'rebuild_end' && $_->{message} =~ /rebuild of n2 is done/ } $c->events), 'it was copied');
done_testing();
