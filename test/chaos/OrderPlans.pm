# OrderPlans.pm
#    Plans in which people ask for something while it happens: another durability, a
#    node more or less, a rebuild.  Rows as in Nemesis.pm, which takes them into its
#    catalogue; these are given the durability of the cluster, too.
#
# Marks beside those of Nemesis.pm:
#   grows     D, an empty host, becomes a node: clients look for the primary there, too
#   obeys     nothing speaks against the orders: each has to succeed
#   strict_waits  in strict too few are left: commits wait for who is away, by design
# ['until', what, arguments...] waits as ['moved'] does, but nobody complains when it
# does not come (chaos.pl has what can be waited for).
package OrderPlans;

use strict;
use warnings;

sub style { return $_[0]->pick('ip', 'all') }

sub other { my ($r, $now) = @_; return $r->pick(grep { $_ ne $now } qw(async sync strict)) }

# The leader is lost at a time, in one of the ways that take it; what it was lost by ends later.
sub lose_leader
{
	my ($r, $at) = @_;
	my $way = $r->pick(qw(server postmaster freeze cut off));
	return ([ $at, 'kill', 'L', $way ], ['moved']) if $way eq 'server' || $way eq 'postmaster';
	return ([ $at, 'freeze', 'L', 'host' ], ['moved'], [ $r->between(0, 2), 'wake', 'L' ]) if $way eq 'freeze';
	return ([ $at, 'cut', 'L', $r->pick('cluster', 'everyone'), 'both', style($r) ], ['moved'], [ $r->between(0, 3), 'heal' ]) if $way eq 'cut';
	return ([ $at, 'off', 'L' ], ['moved'], [ $r->between(0, 3), 'on', 'L', $r->below(2) ]);
}

# Somebody who does not lead is lost for a while.
sub lose_other
{
	my ($r, $at, $role) = @_;
	my $back = $at + $r->between(1, 5);
	my $way = $r->pick(qw(kill freeze cut off));
	return ([ $at, 'kill', $role, $r->pick('server', 'postmaster') ]) if $way eq 'kill';
	return ([ $at, 'freeze', $role, 'host' ], [ $back, 'wake', $role ]) if $way eq 'freeze';
	return ([ $at, 'cut', $role, 'cluster', 'both', style($r) ], [ $back, 'heal' ]) if $way eq 'cut';
	return ([ $at, 'off', $role ], [ $back, 'on', $role, $r->below(2) ]);
}

# regentd dies once or twice; how long it is away at most
sub lose_regentd { my ($r, $at, $away) = @_; return ([ $at, 'kill', 'w', 'regentd', $r->between(0.1, $away) ], [ $at + $r->between(0.3, 1.5), 'kill', 'w', 'regentd', 0.1 ]) }

# An order, and something that befalls the cluster while it is carried out: at any time from
# when it was typed on, or right after regentd has taken it.
sub during
{
	my ($r, $order, $lose) = @_;
	return ([ 0, @$order ], $lose->($r->between(0, 0.8))) if $r->chance(0.5);
	return ([ 0, @$order, '--no-wait' ], [ 'until', 'ordered' ], $lose->($r->between(0, 0.25)));
}

# The leader writes what nobody else gets, and is lost, for less than a lease.
sub leave_behind
{
	my ($r, $l) = @_;
	my $s = style($r);
	my $t = $l * $r->between(0.1, 0.5);
	return ([ 0, 'cut', 'L', 'A', 'both', $s ], [ 0, 'cut', 'L', 'B', 'both', $s ], [ $t, 'kill', 'L', 'server' ], [ $t + 0.05, 'heal' ], ['moved'], [ 'until', 'rebuilding', 'L' ]);
}

sub rebuild
{
	my ($r, @o) = @_;
	return [ 0, 'rebuild', 'A', '--method', $r->pick('delta', 'copy'), '--force', '--rate', $r->pick('6MB', '20MB'), @o ];
}

our @rows = (
	# ---- what a commit waits for ----
	{ name => 'change_durability', class => 'rule', failover => 'never', calm => 1, obeys => 1,
		plan => sub { my ($r, $l, $d) = @_;
			((map { my $x = $d = other($r, $d); ([ $r->between(0, 1), 'set', 'durability', $x ], [ 'until', 'ordered' ]) } 1 .. 3),
				[ $r->between(0, 0.5), 'set', 'quorum', 2 ], [ 'until', 'ordered' ], [ $r->between(0, 0.5), 'set', 'durability', other($r, $d) ], [ 'until', 'ordered' ]) } },
	{ name => 'change_and_lose_leader', class => 'rule_broken', failover => 'must', loses => 1,
		plan => sub { my ($r, $l, $d) = @_; during($r, [ 'set', 'durability', other($r, $d) ], sub { lose_leader($r, @_) }) } },
	{ name => 'changed_and_lose_leader', class => 'rule_broken', failover => 'must', loses => 1,
		plan => sub { my ($r, $l, $d) = @_; ([ 0, 'set', 'durability', other($r, $d) ], [ 'until', 'ordered' ], lose_leader($r, $r->between(0, 0.3))) } },
	{ name => 'change_twice_and_lose_leader', class => 'rule_broken', failover => 'must', loses => 1,
		plan => sub { my ($r, $l, $d) = @_; my $x = other($r, $d);
			([ 0, 'set', 'durability', $x, '--no-wait' ], [ $r->between(0.02, 0.5), 'set', 'durability', other($r, $x) ], lose_leader($r, $r->between(0.1, 1.2))) } },
	{ name => 'change_and_lose_regentd', class => 'rule_broken', failover => 'never', calm => 1,
		plan => sub { my ($r, $l, $d) = @_; during($r, [ 'set', 'durability', other($r, $d) ], sub { lose_regentd($r, @_, $l) }) } },
	{ name => 'change_and_freeze_regentd', class => 'rule_broken', failover => 'never', calm => 1,
		plan => sub { my ($r, $l, $d) = @_; during($r, [ 'set', 'durability', other($r, $d) ],
			sub { my ($t) = @_; ([ $t, 'freeze', 'w', 'regentd' ], [ $t + $l * $r->between(0.3, 2), 'wake', 'w' ]) }) } },
	# all fall back to async, and who is lost then has what nobody else has
	{ name => 'change_and_lose_all', class => 'rule_broken', failover => 'may', loses => 1, halts => 1,
		plan => sub { my ($r, $l, $d) = @_; during($r, [ 'set', 'durability', other($r, $d) ], sub { my ($t) = @_; ((map { [ $t + $r->between(0, 0.2), 'off', $_ ] } qw(L A B w)),
			map { [ $t + 1 + $r->between(0, 3), 'on', $_, $r->below(2) ] } $r->shuffle(qw(L A B w))) }) } },
	# the rule has been written, and nobody has it
	{ name => 'change_unheard', class => 'rule_broken', failover => 'may', loses => 1, halts => 1,
		plan => sub { my ($r, $l, $d) = @_; my $s = style($r); my $t = $l * $r->between(0.2, 0.9); ([ 0, 'cut', 'L', 'A', 'both', $s ], [ 0, 'cut', 'L', 'B', 'both', $s ],
			[ $r->between(0, 0.3), 'set', 'durability', other($r, $d), $r->pick([], ['--no-wait']) ], [ $t, $r->pick('off', 'heal'), 'L' ], [ $t + $l * $r->between(1, 3), 'heal' ],
			[ $t + 6, 'on', 'L', 1 ]) } },
	# what was acknowledged in sync while all were left out is on the leader alone; then async lets others lead
	{ name => 'left_out_then_async', class => 'rule_broken', failover => 'may', loses => 1, halts => 1,
		plan => sub { my ($r, $l) = @_; my $s = style($r); my $t = $r->between(0, 0.5); ([ 0, 'set', 'durability', 'sync' ], [ 'until', 'ordered' ],
			[ 0, 'cut', 'L', 'A', 'both', $s ], [ 0, 'cut', 'L', 'B', 'both', $s ], [ 'until', 'left_out', 2 ], [ 1, 'set', 'durability', 'async', '--no-wait' ],
			[ 1 + $t, 'heal' ], [ 1 + $t + $r->between(0, 0.4), 'kill', 'L', 'server' ], [ 8, 'wake', 'L' ]) } },
	# two have every commit, and two of three are lost
	{ name => 'two_and_lose_two', class => 'rule_broken', failover => 'may', loses => 1, halts => 1,
		plan => sub { my ($r) = @_; ([ 0, 'set', 'durability', 'strict' ], [ 'until', 'ordered' ], [ 0, 'set', 'quorum', 2 ], [ 'until', 'ordered' ],
			[ $r->between(0, 0.5), 'off', 'A' ], [ $r->between(0, 1), 'kill', 'L', 'server' ], [ 6, 'on', 'A', 1 ]) } },
	{ name => 'change_and_switchover', class => 'rule_broken', failover => 'may', loses => 1, halts => 1,
		plan => sub { my ($r, $l, $d) = @_; my @t = (0, $r->between(0, 0.5)); @t = reverse @t if $r->chance(0.5);
			([ $t[0], 'set', 'durability', other($r, $d) ], [ $t[1], 'switchover', 'A' ]) } },

	# ---- nodes that come ----
	{ name => 'add_node', class => 'nodes', failover => 'never', calm => 1, grows => 1, obeys => 1,
		plan => sub { ([ 0, 'add', 'D' ], [ 'until', 'ordered' ]) } },
	{ name => 'added_node_leads', class => 'nodes', failover => 'must', grows => 1, obeys => 1,
		plan => sub { ([ 0, 'add', 'D' ], [ 'until', 'ordered' ], [ 1, 'switchover', 'D' ], ['moved']) } },
	{ name => 'added_node_and_lose_leader', class => 'nodes_broken', failover => 'must', loses => 1, grows => 1,
		plan => sub { my ($r) = @_; ([ 0, 'add', 'D' ], [ 'until', 'ordered' ], lose_leader($r, $r->between(0, 0.5))) } },
	{ name => 'add_node_and_lose_leader', class => 'nodes_broken', failover => 'must', loses => 1, grows => 1,
		plan => sub { my ($r) = @_; ([ 0, 'add', 'D' ], lose_leader($r, $r->between(0, 6))) } },
	{ name => 'add_node_and_lose_it', class => 'nodes_broken', failover => 'never', calm => 1, grows => 1,
		plan => sub { my ($r) = @_; ([ 0, 'add', 'D' ], lose_other($r, $r->between(0, 6), 'D')) } },
	{ name => 'add_node_and_lose_regentd', class => 'nodes_broken', failover => 'never', calm => 1, grows => 1,
		plan => sub { my ($r, $l) = @_; ([ 0, 'add', 'D' ], lose_regentd($r, $r->between(0, 6), $l)) } },
	{ name => 'add_node_and_change', class => 'nodes_broken', failover => 'may', loses => 1, halts => 1, grows => 1,
		plan => sub { my ($r, $l, $d) = @_; my $t = $r->between(0, 5); ([ 0, 'add', 'D' ], [ $t, 'set', 'durability', other($r, $d) ],
			[ $t + $r->between(0, 2), 'kill', 'L', 'server' ]) } },

	# ---- nodes that go ----
	{ name => 'remove_node', class => 'nodes', failover => 'never', calm => 1, obeys => 1,
		plan => sub { ([ 0, 'remove', 'A' ], [ 'until', 'ordered' ]) } },
	{ name => 'removed_node_and_lose_leader', class => 'nodes_broken', failover => 'must', loses => 1, strict_waits => 1,
		plan => sub { my ($r) = @_; ([ 0, 'remove', 'A' ], [ 'until', 'ordered' ], lose_leader($r, $r->between(0, 0.5))) } },
	{ name => 'remove_node_and_lose_leader', class => 'nodes_broken', failover => 'must', loses => 1, strict_waits => 1,
		plan => sub { my ($r) = @_; during($r, [ 'remove', 'A' ], sub { lose_leader($r, @_) }) } },
	{ name => 'remove_node_and_lose_it', class => 'nodes_broken', failover => 'never', calm => 1,
		plan => sub { my ($r) = @_; during($r, [ 'remove', 'A' ], sub { lose_other($r, @_, 'A') }) } },
	{ name => 'remove_node_and_lose_regentd', class => 'nodes_broken', failover => 'never', calm => 1,
		plan => sub { my ($r, $l) = @_; during($r, [ 'remove', 'A' ], sub { lose_regentd($r, @_, $l) }) } },
	{ name => 'exchange_nodes', class => 'nodes', failover => 'never', calm => 1, grows => 1, obeys => 1,
		plan => sub { my ($r) = @_; my @two = $r->shuffle([ 'remove', 'A' ], [ 'add', 'D' ]); map { ([ 0, @$_ ], [ 'until', 'ordered' ]) } @two } },

	# ---- rebuilds ----
	{ name => 'rebuild', class => 'rebuild', failover => 'never', calm => 1, obeys => 1,
		plan => sub { my ($r) = @_; (rebuild($r, '--wait', $r->pick([], [ '--from', 'B' ])->@*), [ 'until', 'ordered' ]) } },
	{ name => 'rebuild_and_cancel', class => 'rebuild_broken', failover => 'never', calm => 1,
		plan => sub { my ($r) = @_; (rebuild($r), [ $r->between(0.2, 5), 'cancel_job', 'A' ]) } },
	{ name => 'rebuild_and_lose_leader', class => 'rebuild_broken', failover => 'must', loses => 1,
		plan => sub { my ($r) = @_; (rebuild($r, $r->pick([], [ '--from', 'B' ])->@*), lose_leader($r, $r->between(0, 6))) } },
	{ name => 'rebuild_and_lose_source', class => 'rebuild_broken', failover => 'never', halts => 1,
		plan => sub { my ($r) = @_; (rebuild($r, '--from', 'B'), lose_other($r, $r->between(0, 5), 'B')) } },
	{ name => 'rebuild_and_lose_it', class => 'rebuild_broken', failover => 'never', calm => 1,
		plan => sub { my ($r) = @_; (rebuild($r), lose_other($r, $r->between(0, 6), 'A')) } },
	{ name => 'rebuild_and_lose_regentd', class => 'rebuild_broken', failover => 'never', calm => 1,
		plan => sub { my ($r, $l) = @_; (rebuild($r), lose_regentd($r, $r->between(0, 6), $l)) } },
	{ name => 'rebuild_and_switchover', class => 'rebuild_broken', failover => 'may', halts => 1,
		plan => sub { my ($r) = @_; (rebuild($r), [ $r->between(0, 6), 'switchover', $r->pick('A', 'B') ]) } },
	{ name => 'rebuild_cancel_and_lose_leader', class => 'rebuild_broken', failover => 'must', loses => 1,
		plan => sub { my ($r) = @_; my $t = $r->between(0.2, 4); (rebuild($r), [ $t, 'cancel_job', 'A' ], lose_leader($r, $t + $r->between(0, 0.5))) } },

	# ---- the way back of a leader that wrote what nobody else has ----
	{ name => 'rewind_disturbed', class => 'rewind', failover => 'must', loses => 1,
		plan => sub { my ($r, $l) = @_; my $t = $r->between(0, 1.5); (leave_behind($r, $l), $r->pick([ [ $t, 'cancel_job', 'L' ] ], [ lose_regentd($r, $t, $l) ], [ lose_other($r, $t, 'L') ])->@*) } },
	{ name => 'rewind_and_lose_leader', class => 'rewind', failover => 'must', loses => 1, halts => 1,
		plan => sub { my ($r, $l) = @_; (leave_behind($r, $l), [ $r->between(0, 1.5), $r->pick([ 'kill', 'N', 'server' ], [ 'off', 'N' ], [ 'freeze', 'N', 'host' ])->@* ], [ 'until', 'led' ]) } },
	{ name => 'rewind_and_switchover', class => 'rewind', failover => 'must', loses => 1, halts => 1,
		plan => sub { my ($r, $l) = @_; (leave_behind($r, $l), [ $r->between(0, 1.5), 'switchover', $r->pick('A', 'B') ], [ 'until', 'ordered' ]) } },
);

1;
