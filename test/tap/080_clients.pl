# Clients find the primary: the real HAProxy through a crash, sessions to the
# old primary are cut, reads are spread by weight; multi-host strings with psql.
use strict;
use warnings;
use IO::Socket::INET;
use RegentCluster qw(wait_until free_port spew slurp);
use Test::More;

my $c = RegentCluster->new(nodes => 3, http => 1,
	node_regent => { n2 => { weight => 3 }, n3 => { weight => 1 } });
$c->up;
my $d = $c->dir;
my ($write, $read) = (free_port(), free_port());

sub health
{
	my ($path) = @_;
	my $s = IO::Socket::INET->new(PeerAddr => $c->{http}, Timeout => 5) or return 0;
	print $s "GET $path HTTP/1.0\r\nHost: x\r\n\r\n";
	my $line = <$s>;
	return ($line || '') =~ m{^HTTP/1\.\d (\d+)} ? $1 : 0;
}

is(health('/node/n1/primary'), 200, 'n1 is the primary');
is(health('/node/n2/primary'), 503, 'n2 is not');
is(health('/node/n2/standby'), 200, 'n2 is a standby');
is(health('/node/n1/standby'), 503, 'n1 is not');
is(health('/node/n9/primary'), 404, 'there is no n9');

my ($rc, $out, $err) = $c->regent('config', 'haproxy', '--write-port', $write, '--read-port', $read);
is($rc, 0, 'regent config haproxy') or diag($err);
spew("$d/haproxy.cfg", $out);
($rc, $out, $err) = RegentCluster::run_command([ '/usr/sbin/haproxy', '-c', '-f', "$d/haproxy.cfg" ]);
is($rc, 0, 'haproxy takes it') or diag("$out$err");
$c->{pids}{haproxy} = $c->spawn([ '/usr/sbin/haproxy', '-db', '-f', "$d/haproxy.cfg" ], "$d/haproxy.log");

sub through
{
	my ($port, $query) = @_;
	my ($r, $o) = RegentCluster::run_command([ "$RegentCluster::bindir/psql", '-XqAt', '-d',
		"host=127.0.0.1 port=$port user=postgres dbname=postgres connect_timeout=3" ], stdin => $query, timeout => 10);
	chomp $o;
	return $r == 0 ? $o : undef;
}

wait_until(sub { defined through($write, 'SELECT 1') && defined through($read, 'SELECT 1') }, 20, 'haproxy to see the servers');
is(through($write, 'SHOW regent.node_name'), 'n1', 'the write port leads to n1');
my %seen;
wait_until(sub { $seen{ through($read, 'SHOW regent.node_name') // 'none' }++; $seen{n2} && $seen{n3} }, 20, 'the read port to know both standbys');
%seen = ();
$seen{ through($read, 'SHOW regent.node_name') // 'none' }++ for 1 .. 40;
is(join(' ', map { "$_=$seen{$_}" } sort keys %seen), 'n2=30 n3=10', 'reads are spread 3 to 1');

# a session through the write port is cut by the crash, new ones reach the new primary
my $long = $c->spawn([ "$RegentCluster::bindir/psql", '-X', '-d', "host=127.0.0.1 port=$write user=postgres dbname=postgres",
	'-c', 'SELECT pg_sleep(300)' ], "$d/long.log");
$c->{pids}{long} = $long;
wait_until(sub { $c->sql('n1', "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'") > 0 }, 10, 'the long session');
# the backend outlives its postmaster for a moment when it is frozen: the cut must come from the balancer, too
$c->kill_primary('n1');
ok(defined RegentCluster::reap($long, 20), 'the session to the old primary was cut');
delete $c->{pids}{long};
my $s = $c->wait_failover('n1');
wait_until(sub { (through($write, 'SHOW regent.node_name') // '') eq $s->{leader} }, 10, 'the write port to lead to the new primary');
is(through($write, 'SELECT pg_is_in_recovery()'), 'f', "the write port leads to $s->{leader}");
is(health('/node/n1/primary'), 503, 'n1 is not the primary any more');
$c->wait_node('n1', 'ok', 120);

# multi-host strings
($rc, $out) = $c->regent('uri');
is($rc, 0, 'regent uri');
my ($uri) = $out =~ m{(postgres(?:ql)?://\S*read-write\S*)};
ok($uri, 'a URI for writes') or diag($out);
$uri =~ s{^(postgres(?:ql)?://)(?:[^@/]*@)?}{$1postgres@};
$uri =~ s{/[^/?]*\?}{/postgres?};
my ($r, $o, $e) = RegentCluster::run_command([ "$RegentCluster::bindir/psql", '-XqAt', '-d', $uri, '-c', 'SHOW regent.node_name' ], timeout => 20);
chomp $o;
is($o, $s->{leader}, 'psql with it finds the primary') or diag("$uri\n$e");
($uri) = $out =~ m{(postgres(?:ql)?://\S*prefer-standby\S*)};
ok($uri, 'a URI for reads') or diag($out);
$uri =~ s{^(postgres(?:ql)?://)(?:[^@/]*@)?}{$1postgres@};
$uri =~ s{/[^/?]*\?}{/postgres?};
($r, $o, $e) = RegentCluster::run_command([ "$RegentCluster::bindir/psql", '-XqAt', '-d', $uri, '-c', 'SELECT pg_is_in_recovery()' ], timeout => 20);
chomp $o;
is($o, 't', 'psql with it finds a standby') or diag($e);
done_testing();
