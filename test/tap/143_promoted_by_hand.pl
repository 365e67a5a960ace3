# Somebody promotes a standby by hand beside the leader.  It acknowledges nothing, and regentd
# brings it back as a standby, although its newest term is the one in force: it is on a
# timeline of its own, so it is rewound or copied.
use strict;
use warnings;
use RegentCluster qw(wait_until);
use Test::More;

my $c = RegentCluster->new(nodes => 3);
$c->up;
$c->sql('n1', 'CREATE TABLE t (id serial PRIMARY KEY)');
$c->sql('n1', 'INSERT INTO t DEFAULT VALUES');
$c->wait_whole;
$c->wait_caught_up('n1', 'n2', 'n3');

$c->sql('n3', 'SELECT pg_promote(false)', may_fail => 1);
my $told = 0;
wait_until(sub {
	$told++ if defined $c->sql('n3', 'INSERT INTO t DEFAULT VALUES', may_fail => 1);
	grep { $_->{event} =~ /\Arebuild_(begin|end)\z/ && $_->{node} eq 'n3' } $c->events;
}, 60 * $RegentCluster::slow, 'n3 to be rebuilt', sub { $c->regentd_log_tail });
$c->wait_whole;
is($told, 0, 'it has acknowledged nothing');
my $s = $c->status;
is($s->{leader}, 'n1', 'n1 leads all the time');
is(RegentCluster::node_of($s, 'n3')->{streams_from}, 'n1', 'n3 is a standby again');
$c->sql('n1', 'INSERT INTO t DEFAULT VALUES');
$c->wait_caught_up('n1', 'n2', 'n3');
is($c->sql('n3', 'SELECT count(*) FROM t'), '2', 'with the rows of n1');
is($c->sql('n3', 'SELECT pg_is_in_recovery()'), 't', 'in recovery');
ok((grep { $_->{event} eq 'node_diverged' && $_->{node} eq 'n3' } $c->events), 'the reason is on record');
done_testing();
